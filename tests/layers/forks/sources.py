"""Rows of the data layers of Caffe's forks, whose text states the sizes of their images."""

from __future__ import annotations

from caffe2fx.layers.data import Source, TransformationParameter
from caffe2fx.layers.forks.images import (
    AnnotatedData,
    AnnotatedDataParameter,
    AnnotationType,
    BatchSampler,
    DenseImageData,
    ImageSegData,
    LabelType,
    LaneData,
    SampleConstraint,
    Sampler,
    VideoData,
    VideoDataParameter,
    VideoType,
)
from caffe2fx.layers.images import DB
from tests.layers.row import Row

# All the fields of the data layers that state no shape, at other values than their defaults.
READ = {"source": "db", "rand_skip": 1, "shuffle": True, "cache": True, "precache": True,
        "threads": 2, "scale": 0.5, "mean_file": "old.binaryproto", "crop_size": 3,
        "mirror": True}  # fmt: skip
BASE = {"backend": DB.LMDB, "force_encoded_color": True, "prefetch": 2, "parser_threads": 3, **READ}
CROP = TransformationParameter(crop_size=5, mean_value=(1, 2, 3))
PARTS = BatchSampler(
    use_original_image=False, max_sample=1, max_trials=50,
    sampler=Sampler(min_scale=0.3, max_scale=0.9, min_aspect_ratio=0.5, max_aspect_ratio=2),
    sample_constraint=SampleConstraint(
        min_jaccard_overlap=0.1, max_jaccard_overlap=0.9, min_sample_coverage=0.2,
        max_sample_coverage=0.8, min_object_coverage=0.3, max_object_coverage=0.7))  # fmt: skip
LANES = AnnotatedDataParameter(
    batch_sampler=(PARTS, BatchSampler(max_sample=2)), label_map_file="names",
    anno_type=AnnotationType.LANE, yolo_data_type=1, yolo_data_jitter=0.2, train_diffcult=False,
    single_class=False, seg_scales=4, seg_resize_height=6, seg_resize_width=7,
    difficult_label_warmup=True)  # fmt: skip
BOXED = AnnotatedDataParameter(batch_sampler=(PARTS,), anno_type=AnnotationType.BBOX)
FRAMES = VideoDataParameter(
    video_type=VideoType.VIDEO, device_id=1, video_file="film", skip_frames=2)  # fmt: skip


def source(id: str, layer: Source, tops: int = 2) -> Row:
    """Return a data layer, with images of which the text states the size."""
    return Row(id, layer.replace(transform_param=CROP), tops=tops, needs_files=True)


SOURCES = (
    source("boxes", AnnotatedData(batch_size=2, annotated_data_param=BOXED, **BASE)),
    source("boxes in another form", AnnotatedData(batch_size=2, annotated_data_param=LANES), 1),
    source("lanes", LaneData(batch_size=2, annotated_data_param=LANES), 1),
    source("frames", VideoData(batch_size=2, video_data_param=FRAMES)),
    source(
        "pixels",
        ImageSegData(
            batch_size=2,
            new_height=6,
            new_width=7,
            root_folder="here",
            label_type=LabelType.PIXEL,
            ignore_label=254,
            **READ,
        ),
    ),
    source("images and numbers", ImageSegData()),
    source(
        "images of labels",
        DenseImageData(
            source="list",
            batch_size=2,
            rand_skip=1,
            shuffle=True,
            new_height=6,
            new_width=7,
            mean_file="mean",
            root_folder="here",
            mirror=True,
            crop_width=5,
            crop_height=4,
        ),
    ),
    Row(
        "labels in gray",
        DenseImageData(is_color=False, new_height=5, new_width=5),
        tops=2,
        needs_files=True,
    ),
    Row(
        "pixels in gray",
        ImageSegData(
            is_color=False,
            label_type=LabelType.PIXEL,
            transform_param=TransformationParameter(crop_size=5),
        ),
        tops=2,
        needs_files=True,
        as_text="image_data_param { images_in_color: false label_type: PIXEL }"
        " transform_param { crop_size: 5 }",
    ),
)
