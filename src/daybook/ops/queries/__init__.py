"""Every query of the exporter, declared for `explain`."""
