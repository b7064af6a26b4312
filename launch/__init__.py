"""Programs that run on accelerators: train, evaluate, prepare_data."""
