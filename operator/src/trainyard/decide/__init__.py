"""Pure decisions: functions of facts and time, one file a policy."""
