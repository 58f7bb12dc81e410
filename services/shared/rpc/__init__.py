"""gRPC for every program: `server.serve`, `client.connect`, `principal.current`, `status.to_error`."""
