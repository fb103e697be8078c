"""Layer 4: plans, agents, tools, approvals, effects and budgets."""
