"""Tool calls: policy, approvals, execution, the effect log and the audit."""
