"""Making a plan of a request: by examples, or by a model. A planner is one file, chosen by the option `planner` of the agent."""
