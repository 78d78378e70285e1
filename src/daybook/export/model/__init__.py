"""Values and decisions of the export, without I/O."""
