"""What alembic needs to run any service's migrations; the migrations themselves lie with their service."""
