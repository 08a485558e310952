"""A plugin of pytest: registers the schema of Caffe as pycaffe's caffe_pb2 does, before ours.

The module itself is generated code of an older protobuf, which a newer one does not run; what it
does is to add its file to the pool of the process and to make classes of the messages.
"""
