"""Configurations of other gateways, as configuration files of ours: whatever is not taken is named."""
