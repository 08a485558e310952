"""Pages, drawings and texts for people: plain values in, HTML and SVG out."""
