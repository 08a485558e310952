"""Net to net, for speed alone: decomposed functions become one torch call, idle layers go."""
