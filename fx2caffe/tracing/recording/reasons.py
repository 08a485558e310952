"""Reasons for which the recorder refuses a call; the call's own name precedes each."""

from __future__ import annotations

HIDDEN_WRITE = "writes {}, which its name does not show"
AUTOCAST = "runs under torch.autocast: a Caffe net has one precision"
NEEDS_REAL = "can not run on fake values: use values='real'"
PACKED = "packs sequences by their lengths: pass them padded, in a net all are equally long"
OVERLAPS = "writes memory that overlaps itself (expand, unfold): call .clone() on it first"
NO_FORM = "has no form that leaves its argument as it was"
HIGHER_ORDER = "takes functions as arguments: their choice would be lost"
WRAPPED = "runs inside torch.func (vmap, grad): write the operations out"
GRADIENTS = "computes gradients, which need a backward pass: a Caffe net is run forward alone"
