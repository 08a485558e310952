"""The pages that are generated from registries, targets and rows: `python -m tests.table`.

`functions` writes fx2caffe/ops/README.md, `targets` fx2caffe/targets/README.md and `layers`
caffe2fx/layers/README.md.
"""
