"""Net to net, for speed alone: spelled-out functions become one torch call, idle layers go."""
