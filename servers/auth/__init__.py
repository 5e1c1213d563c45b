"""Who somebody is: registration, log-in, sessions and the keys that tokens are signed with."""
