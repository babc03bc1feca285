"""Random shapes: `st.from_type` of LayerShape draws any convolution or linear layer, of NetworkShape several."""

from dataclasses import replace

from hypothesis import strategies as st

from bankwise.search_space.shape import LayerShape, NetworkShape, NormShape, TensorShape


@st.composite
def layer_shapes(draw) -> LayerShape:
    flags = {"bias": draw(st.booleans()), "normalized": draw(st.booleans())}
    if draw(st.integers(0, 4)) == 0:
        n, c = draw(st.integers(1, 12)), draw(st.integers(1, 12))
        return LayerShape("layer", "linear", n, c, **flags)
    groups = draw(st.integers(1, 3))
    pair = {
        name: (draw(st.integers(low, high)), draw(st.integers(low, high)))
        for name, low, high in (("kernel", 1, 4), ("stride", 1, 3), ("padding", 0, 3), ("dilation", 1, 2))
    }
    extent = [pair["dilation"][i] * (pair["kernel"][i] - 1) + 1 for i in (0, 1)]
    in_size = tuple(max(1, extent[i] - 2 * pair["padding"][i]) + draw(st.integers(0, 4)) for i in (0, 1))
    out_size = tuple((in_size[i] + 2 * pair["padding"][i] - extent[i]) // pair["stride"][i] + 1 for i in (0, 1))
    n, c = groups * draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    return LayerShape("layer", "conv2d", n, c, groups=groups, in_size=in_size, out_size=out_size, **pair, **flags)


st.register_type_strategy(LayerShape, layer_shapes())


@st.composite
def network_shapes(draw) -> NetworkShape:
    """Layers, norms and kept tensors in any number; nothing that could run."""
    layers = draw(st.lists(layer_shapes(), min_size=1, max_size=5))
    behind = [layer.normalized and draw(st.booleans()) for layer in layers]
    layers = tuple(
        replace(layer, name=f"stage.{i}", norm=f"behind{i}" if behind[i] else "") for i, layer in enumerate(layers)
    )
    channels = draw(st.lists(st.integers(1, 9), max_size=3))
    norms = tuple(NormShape(layer.norm, layer.n) for layer in layers if layer.norm)
    norms += tuple(NormShape(f"norm{i}", n) for i, n in enumerate(channels))
    tensors = tuple(
        TensorShape(f"kept{i}", (n, 3)) for i, n in enumerate(draw(st.lists(st.integers(0, 5), max_size=2)))
    )
    peak = max(layer.live_bytes for layer in layers)
    return NetworkShape("net", (3, 8, 8), draw(st.integers(1, 1000)), layers, norms, tensors, peak)


st.register_type_strategy(NetworkShape, network_shapes())
