"""The commands of the programs that read the targets' nets, by their documents.

The tests run those of real Caffe and of OpenCV. `CHIP`, `IMAGE` and the files of images are for
the user to name.
"""

from __future__ import annotations

from fx2caffe.targets.command import Command, TextFile

CAFFE = Command(
    "Caffe",
    (
        "python",
        "-c",
        "import caffe; net = caffe.Net({prototxt_text}, {weights_text}, caffe.TEST); "
        "print([(name, blob.shape) for name, blob in net.forward().items()])",
    ),
)
_ZEROS = '[net.setInput(numpy.zeros(shape, "float32"), name) for name, shape in {python_shapes}]; '
_IMAGE = (
    'pixels = cv2.dnn.blobFromImage(cv2.imread("IMAGE"), size=({width}, {height}), '
    "swapRB={is_rgb}); "
    "mean, factor = (numpy.reshape(of, (1, -1, 1, 1)) for of in ([{mean}], [{factor}])); "
    "net.setInput(numpy.float32((pixels - mean) * factor), {image_text}); "
)
OPENCV = Command(
    "OpenCV",
    (
        "python",
        "-c",
        "import cv2, numpy; net = cv2.dnn.readNetFromCaffe({prototxt_text}, {weights_text}); "
        f"{_ZEROS}{{pixels}}"
        "print([result.shape for result in net.forward(net.getUnconnectedOutLayersNames())])",
    ),
    inline=_IMAGE,
)
OPENVINO = Command(
    "OpenVINO 2022",
    ("mo", "--framework", "caffe", "--input_proto", "{prototxt}", "--input_model", "{weights}",
     "--input", "{names}", "--input_shape", "{bracketed}", "--model_name", "{name}"),
    pixels=("--mean_values", "{named_means}", "--scale_values", "{named_divisors}"),
)  # fmt: skip
MNN = Command(
    "MNN",
    ("MNNConvert", "-f", "CAFFE", "--modelFile", "{weights}", "--prototxt", "{prototxt}",
     "--MNNModel", "{stem}.mnn", "--bizCode", "MNN"),
)  # fmt: skip
NCNN = Command("ncnn", ("caffe2ncnn", "{prototxt}", "{weights}", "{stem}.param", "{stem}.bin"))
TPU_MLIR = Command(
    "tpu-mlir",
    ("model_transform.py", "--model_name", "{name}", "--model_def", "{prototxt}",
     "--model_data", "{weights}", "--input_shapes", "{shapes}", "--mlir", "{stem}.mlir"),
    pixels=("--pixel_format", "{order}", "--mean", "{mean}", "--scale", "{factor}"),
)  # fmt: skip
# AIPP takes images of one channel or three; RGB888 with a swap gives the net BGR.
ATC = Command(
    "ATC",
    ("atc", "--framework=0", "--model={prototxt}", "--weight={weights}", "--output={stem}",
     "--input_format=NCHW", "--input_shape={named}", "--soc_version=CHIP"),
    pixels=("--insert_op_conf={stem}.aipp.cfg",),
    files=(
        TextFile(
            "{stem}.aipp.cfg",
            image=("aipp_op {{", "aipp_mode: static", "related_input_rank: {index}",
                   "input_format: {ascend_format}", "rbuv_swap_switch: {ascend_swap}",
                   "{ascend_size}", "{ascend_means}", "{ascend_factors}", "}}"),
        ),
    ),
)  # fmt: skip
# A board's images of type 1 are planes in the order BGR, whatever RGB_order is.
NNIE_MAPPER = Command(
    "nnie_mapper",
    ("nnie_mapper_12", "{stem}.nnie.cfg"),
    files=(
        TextFile("{stem}.mean{index}.txt", image=("{mean_lines}",), one_each=True),
        TextFile(
            "{stem}.nnie.cfg",
            ("[prototxt_file] {prototxt}", "[caffemodel_file] {weights}",
             "[instruction_name] {stem}", "[net_type] 0", "[batch_num] 1", "[compile_mode] 0",
             "[is_simulation] 0", "[log_level] 2"),
            ("[image_list] {stem}.images{index}.txt", "[image_type] 1", "[RGB_order] {ORDER}",
             "[norm_type] 5", "[mean_file] {stem}.mean{index}.txt", "[data_scale] {one_factor}"),
            ("[image_list] {stem}.values{index}.txt", "[image_type] 0", "[norm_type] 0",
             "[mean_file] null"),
        ),
    ),
    one_factor=True,
)  # fmt: skip
RKNN_TOOLKIT = Command(
    "RKNN-Toolkit2",
    (
        "python",
        "-c",
        'from rknn.api import RKNN; rknn = RKNN(); rknn.config({pixels}target_platform="CHIP"); '
        "raise SystemExit(rknn.load_caffe(model={prototxt_text}, blobs={weights_text}) "
        "or rknn.build(do_quantization=False) or rknn.export_rknn({rknn_text}))",
    ),
    inline="mean_values={means}, std_values={divisors}, quant_img_RGB2BGR={is_bgr}, ",
)
