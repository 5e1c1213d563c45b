"""Mail: what is written, and the ways it goes (docs/mail.md)."""
