"""Everything behind Envoy."""
