"""What every room stands on: errors, configs, keys, the store, draws, estimates."""
