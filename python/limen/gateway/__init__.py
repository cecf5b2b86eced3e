"""What gateways embed: the reading of providers' usage objects."""
