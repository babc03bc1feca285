"""ONNX models: the weights of the packed file bit for bit, the logits of torch on real images, one line for errors."""

import hashlib
import json
import sys
from dataclasses import replace

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import (
    Binary,
    Choice,
    Composite,
    Float,
    Integer,
    Sparse,
    Stacked,
    Subbit,
    Tiled,
)
from bankwise.search_space.images import Images
from bankwise.search_space.layer import build_child
from bankwise.search_space.networks import IN_MEMORY, build
from bankwise.search_space.packing import assemble, blank, pack
from bankwise.search_space.part import Part
from bankwise.search_space.plan import Plan
from bankwise.search_space.targets import make_target
from bankwise.search_space.targets.file.container import encode
from bankwise.search_space.targets.onnx.checking import TOLERANCE, agree, open_session, rounding, run
from bankwise.search_space.targets.onnx.target import OnnxTarget
from bankwise.search_space.trace import trace
from bankwise.search_space.vector import VECTORS, float_codes, float_values
from bankwise.trainers.data import load_data

CHOICES = [
    Stacked(8, 4, (3, 3)), Stacked(8, 8, (1, 3)), Stacked(2, 1, (3, 1)), Sparse(4, 4, (3, 3), 2, 2, 2),
    Sparse(1, 8, (1, 1), 4, 1, 1), Sparse(5, 2, (3, 3), 1, 1, 0), Binary(), Tiled(4), Subbit(3), Integer(3), Integer(5),
    Integer(8), Composite(2, (3, 2)), Composite(0, (0,)), Float(16), Float(32),
]  # fmt: skip
NAMES = ("onnx", "onnx_plain")


class Two(nn.Module):
    """Two layers, the second with a batch norm behind."""

    def __init__(self, body: nn.Module | None = None):
        super().__init__()
        self.first, self.second, self.norm = (
            nn.Conv2d(3, 8, 1),
            nn.Conv2d(8, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
        )
        self.body, self.last = body or nn.Identity(), nn.Linear(16, 4)

    def forward(self, x):
        return self.last(self.body(self.norm(self.second(self.first(x).relu()))).mean((2, 3)))


def example(module: nn.Module, choice=None, seed: int = 0, vector_bits: int = 8):
    """A module in memory, its plan with `choice` in the layer `second`, and the codes of an untrained child."""
    shape = trace(module, IN_MEMORY, (3, 8, 8), 4)
    layers = {layer.name: choice if layer.name == "second" and choice else Binary() for layer in shape.layers}
    plan = Plan(IN_MEMORY, (3, 8, 8), 4, layers, vector_bits=vector_bits)
    return shape, plan, pack(build_child(module, shape, plan, seed).eval(), shape, plan)


def logits(written: bytes, images: torch.Tensor) -> torch.Tensor:
    return run(open_session(written), images)


def held(written: bytes, name_of_node: str) -> torch.Tensor:
    """What a graph computes for the weight of its second operator of a type."""
    model = onnx.load_from_string(written)
    weight = [node.input[1] for node in model.graph.node if node.op_type == name_of_node][1]
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    if weight in stored:
        return torch.from_numpy(stored[weight].copy())
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(weight, onnx.TensorProto.FLOAT, None))
    session = open_session(model.SerializeToString())
    return torch.from_numpy(session.run(None, {"images": torch.zeros(1, 3, 8, 8).numpy()})[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_the_weights_are_those_of_the_file_bit_for_bit(name, choice):
    module = Two()
    shape, plan, codes = example(module, choice)
    written = make_target(name, module).write(shape, plan, codes)
    wanted = assemble(blank(plan, module), shape, plan, codes)
    assert torch.equal(held(written, "Conv"), wanted.second.weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", VECTORS)
def test_every_storage_of_vectors_gives_the_logits_of_torch(name, way):
    module = Two()
    nn.init.uniform_(module.norm.weight, 0.1, 2.0)
    shape, plan, _ = example(module)
    plan = replace(plan, layers={layer: replace(choice, vectors=way) for layer, choice in plan.layers.items()})
    child = build_child(module, shape, plan, 0, teacher=module)
    child(torch.rand(50, 3, 8, 8) * 3 - 1)
    codes, images = pack(child.eval(), shape, plan), torch.rand(9, 3, 8, 8) * 2 - 1
    wanted = assemble(blank(plan, module), shape, plan, codes)
    assert (len(wanted.norm.weight.unique()) == 1) == (way[0] == "s")
    written = make_target(name, module).write(shape, plan, codes)
    torch.testing.assert_close(logits(written, images), wanted(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("vector_bits", [4, 8, 16, 32])
def test_any_number_of_images_gives_the_logits_of_torch(vector_bits):
    module = Two()
    shape, plan, codes = example(module, Stacked(8, 4, (3, 3)), vector_bits=vector_bits)
    network = assemble(blank(plan, module), shape, plan, codes)
    written = make_target("onnx", module).write(shape, plan, codes)
    for batch in (1, 2, 7):
        images = torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
        wanted = network(images)
        assert (logits(written, images) - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


@pytest.mark.parametrize(("data", "size"), [("digits", (1, 8, 8)), ("fashion-mnist", (1, 28, 28))])
def test_logits_on_real_test_images(data, size, request):
    root = request.getfixturevalue("data_root") if data == "fashion-mnist" else None
    source = load_data(data, root=root, limit=600)
    images = source.to_input(source.test()[0][:300])
    module = build("tiny", classes=10, in_channels=1)
    shape = trace(module, "tiny", size, 10)
    choices = (Binary(), Stacked(16, 4, (3, 3)), Sparse(8, 4, (3, 3), 2, 1, 1), Stacked(32, 8, (3, 1)), Integer(4))
    plan = Plan("tiny", size, 10, {layer.name: choice for layer, choice in zip(shape.layers, choices, strict=True)})
    codes = pack(build_child(module, shape, plan, 1).eval(), shape, plan)
    network = assemble(blank(plan), shape, plan, codes)
    for name in NAMES:
        found, wanted = logits(make_target(name).write(shape, plan, codes), images), network(images)
        assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()
        assert torch.equal(found.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_what_it_is_and_has_standard_operators_alone(name):
    module = Two()
    shape, plan, codes = example(module, Stacked(8, 4, (3, 3)))
    plan = replace(plan, images=Images("imagenet", ("a", "b", "ü", "d")))
    model = onnx.load_from_string(make_target(name, module).write(shape, plan, codes))
    said = {one.key: one.value for one in model.metadata_props}
    assert said["sha256"] == hashlib.sha256(encode(shape, plan, codes)).hexdigest()
    assert said["plan"] == plan.text and said["network"] == IN_MEMORY and said["vector_bits"] == "8"
    assert json.loads(said["labels"]) == ["a", "b", "ü", "d"]
    assert said["normalization"] == "imagenet: (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)] and not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    (images,), (given,) = model.graph.input, model.graph.output
    dims = [[d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in (images, given)]
    assert (images.name, given.name, dims) == ("images", "logits", [["batch", 3, 8, 8], ["batch", 4]])


def test_packed_weights_take_the_bytes_of_the_plan():
    module = Two()
    shape, plan, codes = example(module, Stacked(8, 4, (3, 3)))
    size = OnnxTarget(module).size(shape, plan)
    # 8 filters of 36 bits after 3*8 signs of `first`, whose bytes are whole; 16*2 indices of 3 bits; 16*4 signs.
    assert (size["first", "signs"], size["second", "bank"], size["second", "indices"]) == (3, 36, 12)
    assert size["last", "signs"] == 8 and size["norm", "norm.scale"] == 16 and size["norm", "norm.scale.range"] == 4
    model = onnx.load_from_string(OnnxTarget(module).write(shape, plan, codes))
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    assert stored["bits1"].nbytes == 3 + 36 + 8 and stored["bits3"].nbytes == 12


def test_tied_weights_are_stored_once():
    class Tied(Two):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(16, 16, 1, bias=False)
            self.again = self.body

        def forward(self, x):
            x = self.norm(self.second(self.first(x).relu()))
            return self.last(self.again(self.body(x).relu()).mean((2, 3)))

    module = Tied()
    shape, plan, codes = example(module)
    size = OnnxTarget(module).size(shape, plan)
    assert size["body", "signs"] == 32 and len(OnnxTarget(module).write(shape, plan, codes)) == sum(size.values())


class Unknown(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).abs()


class OfValues(nn.Module):
    def forward(self, x):
        return x if float(x.abs().sum()) > 0 else x + 1  # the images that are traced are zeros


class OfOneSize(nn.Module):
    def forward(self, x):
        return x if len(x) < 3 else x + 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("body", "words"),
    [(Unknown(), "opset 18 of ONNX cannot hold the network: .*fft"), (OfValues(), "other logits for 1 image"),
     (OfOneSize(), "other logits for 3 image")],
    ids=["unknown", "values", "size"],
)  # fmt: skip
def test_a_network_that_cannot_be_exported_is_one_line(name, body, words, tmp_path, capfd):
    module = Two(body)
    shape, plan, codes = example(module)
    with pytest.raises(BankwiseError, match=words) as caught:
        make_target(name, module).save(tmp_path / "model.onnx", shape, plan, codes)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_attention_is_written_in_operators_of_onnx(capfd):
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(x.shape)

    module, keep = Two(Attends()), ("body*",)
    shape = trace(module, IN_MEMORY, (3, 8, 8), 4, keep)
    plan = Plan(IN_MEMORY, (3, 8, 8), 4, {layer.name: Binary() for layer in shape.layers}, keep)
    codes = pack(build_child(module, shape, plan, 0).eval(), shape, plan)
    for name in NAMES:
        assert logits(make_target(name, module).write(shape, plan, codes), torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    assert torch.backends.mha.get_fastpath_enabled() and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("several", "words"), [(False, "dict"), (True, "2 outputs")])
def test_a_network_of_several_outputs_is_one_line(name, several, words, tmp_path):
    class Segments(Two):
        def forward(self, x):
            out = super().forward(x)
            return (out, out) if several else {"out": out}

    module = Segments()
    shape = trace(module, IN_MEMORY, (3, 8, 8), 4, any_output=True)
    plan = Plan(IN_MEMORY, (3, 8, 8), 4, {layer.name: Binary() for layer in shape.layers})
    codes = pack(build_child(module, shape, plan, 0).eval(), shape, plan)
    with pytest.raises(BankwiseError, match=f"^network 'in-memory': gives {words}, only one that gives a tensor"):
        make_target(name, module).save(tmp_path / "model.onnx", shape, plan, codes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_libraries_it_says_what_to_install(missing, monkeypatch, tmp_path):
    module = Two()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BankwiseError, match=f"'onnx' needs {missing}: pip install 'bankwise\\[onnx\\]'"):
        make_target("onnx", module).save(tmp_path / "model.onnx", *example(module))
    assert not list(tmp_path.iterdir())


def test_another_opset_is_a_subclass():
    module = Two()
    for opset in (18, 20):
        written = type("Mine", (OnnxTarget,), {"opset": opset})(module).write(*example(module))
        assert onnx.load_from_string(written).opset_import[0].version == opset
    for opset in (17, 21):
        with pytest.raises(BankwiseError, match=f"opset {opset} is not possible: 18 to 20"):
            type("Mine", (OnnxTarget,), {"opset": opset})(module).write(*example(module))


def test_a_network_in_memory_is_asked_for():
    with pytest.raises(BankwiseError, match="module in memory"):
        make_target("onnx").write(*example(Two()))


def test_where_nothing_can_be_written(tmp_path):
    module = Two()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(BankwiseError, match="cannot write .*model.onnx"):
        make_target("onnx", module).save(tmp_path / "file" / "model.onnx", *example(module))
    assert [one.name for one in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "kept"


def test_rounding_that_a_network_blows_up_is_no_difference():
    """float32 logits of a network whose outputs nearly cancel are far from one another, and from the exact ones."""

    class Cancels(nn.Module):
        def forward(self, x):
            return x + 1e7 - 1e7

    found, wanted = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.01]])
    assert not agree(found, wanted) and agree(found, wanted, off=0.002) and not agree(found, wanted, off=0.0005)
    images = torch.full((1, 3, 8, 8), 0.4)  # float32 near 10^7 are whole numbers
    assert rounding(Cancels(), images, Cancels()(images)) == pytest.approx(0.4, abs=1e-6)


def test_terms_that_cancel_leave_the_rounding_of_the_largest():
    large, cancelling = nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)
    large.weight.data = torch.full((2, 1), 1e4)
    cancelling.weight.data = torch.tensor([[1.0, -1.0]])
    network, images = nn.Sequential(large, cancelling), torch.ones(1, 1)
    assert network(images).item() == 0.0
    assert rounding(network, images, network(images)) == pytest.approx(2.0**-23 * 1e4)


def test_a_network_of_float32_alone_rounds_as_little_as_it_must():
    class Single(nn.Module):
        def forward(self, x):
            return x @ torch.ones(8, 8)  # float32, whatever the images are

    images = torch.ones(1, 3, 8, 8)
    assert rounding(Single(), images, Single()(images)) == 0.0


def test_more_than_a_file_holds(monkeypatch):
    module = Two()
    monkeypatch.setattr("bankwise.search_space.targets.onnx.graph.MOST_BYTES", 100)
    with pytest.raises(BankwiseError, match=r"its weights take [\d,]+ bytes; one file of ONNX holds less than 100"):
        make_target("onnx", module).write(*example(module))


class Ternary(Choice):
    """-1, 0 or 1, as a user's own family; it knows nothing of ONNX."""

    family, letter, scaled = "ternary", "R", False

    def parts(self, shape):
        return (Part("trits", shape.weight_shape, 2), Part("step", (1,), 16, real=True))

    def rate(self, shape):
        return 2.0

    def capture(self, shape):
        return 0.8

    def basis(self, shape, generator=None):
        raise NotImplementedError

    def weight(self, shape, codes):
        return (codes["trits"].float() - 1) * float_values(codes["step"], 16)


def test_a_family_of_a_users_own_is_unpacked_as_well():
    module = Two()
    shape, plan, codes = example(module)
    plan = replace(plan, layers={**plan.layers, "second": Ternary()})
    trits = torch.randint(0, 3, (16, 8, 3, 3), generator=torch.Generator().manual_seed(0))
    codes = {key: code for key, code in codes.items() if key[0] != "second"}
    codes |= {("second", "trits"): trits, ("second", "step"): float_codes(torch.tensor([0.3]), 16)}
    found = held(make_target("onnx", module).write(shape, plan, codes), "Conv")
    assert torch.equal(found, (trits - 1) * torch.tensor(0.3).half().float())
