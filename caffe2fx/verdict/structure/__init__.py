"""How the layers of two nets correspond, and the faults of those that have no partner."""
