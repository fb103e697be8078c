"""Tool calls: policy, approvals, execution, the effect log and what is recorded."""
