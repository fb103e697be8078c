"""Where the small stores of approvals, effects and the like stand: `[foundation.records]`."""
