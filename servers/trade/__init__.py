"""Trading from a terminal: `venue trade`, a client of the public gRPC API with no rights of its own."""
