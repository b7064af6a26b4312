"""The authors' PyTorch weights and configurations."""
