"""From a net to a torch.fx.GraphModule, and its weights back to a file."""
