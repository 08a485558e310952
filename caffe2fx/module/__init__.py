"""Build a torch.fx.GraphModule from a net, and write its weights back to a file."""
