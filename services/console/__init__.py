"""The web pages in which people review, write and judge: a gRPC client like any other."""
