"""The embedded default: real PostgreSQL, Valkey and Envoy from wheels, and every process under one supervisor."""
