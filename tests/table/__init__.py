"""The pages that are generated from registries, targets and rows: `python -m tests.table`.

`functions` writes fx2caffe/ops/README.md, `targets` fx2caffe/targets/README.md, `layers`
caffe2fx/layers/README.md, `architecture` parts of fx2caffe/README.md and caffe2fx/README.md, and
`api` fx2caffe/API.md and caffe2fx/API.md.
"""
