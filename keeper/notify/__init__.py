"""How the daemon speaks: one canonical log line a tick and an attempt, alarms, and the control socket."""
