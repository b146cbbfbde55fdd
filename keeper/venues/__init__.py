"""The protocols: one folder each, reading, encoding and knowing the liquidation rules of its markets."""
