"""Google Cloud's services: tasks and secrets."""
