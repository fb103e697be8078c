"""An agent that somebody could ship: research over documents, two tools of its own, a sub-agent and a typed result."""
