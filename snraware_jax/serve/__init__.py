"""An MRD server: `snraware serve`."""
