"""What only a real project and a real shared drive can tell; see docs/deploy.md, "Prove it"."""
