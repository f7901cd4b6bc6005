"""onnxruntime on the ONNX export: f32, and int8 by its own dynamic quantisation."""
from concurrent.futures import ThreadPoolExecutor

import onnxruntime as ort

from encoders import Works
from onnxfile import exported, fused
from serve import THREADS, made, serve

# graph: which file. "plain" is the export; "fused" has been through onnxruntime's own transformer optimiser (attention, GELU
# and norm fused); the int8 ones are quantised dynamically, "default" with every default, "matmul" only the products and a
# scale for each column, "fused" that of the fused graph. sessions: how many run beside each other, threads shared out.
SETTINGS = {
    "f32-plain": dict(graph="plain", level="ORT_ENABLE_ALL", sessions=1),
    "f32-extended": dict(graph="plain", level="ORT_ENABLE_EXTENDED", sessions=1),
    "f32-fused": dict(graph="fused", level="ORT_ENABLE_ALL", sessions=1),
    "f32-fused-nospin": dict(graph="fused", level="ORT_ENABLE_ALL", sessions=1, spin="0"),
    "f32-fused-streams": dict(graph="fused", level="ORT_ENABLE_ALL", sessions=THREADS),
    "int8-default": dict(graph="int8-default", level="ORT_ENABLE_ALL", sessions=1),
    "int8-matmul": dict(graph="int8-matmul", level="ORT_ENABLE_ALL", sessions=1),
    "int8-fused": dict(graph="int8-fused", level="ORT_ENABLE_ALL", sessions=1),
    "int8-fused-streams": dict(graph="int8-fused", level="ORT_ENABLE_ALL", sessions=THREADS),
}


def graph(folder, kind):
    """Path of the file in that form."""
    plain = exported(folder)
    if kind == "plain":
        return plain
    base = plain[: -len(".onnx")]
    if kind == "fused":
        return fused(folder)
    source = graph(folder, "fused") if kind == "int8-fused" else plain

    def quantise(part):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        kw = {} if kind == "int8-default" else dict(op_types_to_quantize=["MatMul", "Attention"], per_channel=True)
        # The quantiser cannot infer types behind fused operators by itself: all are f32.
        quantize_dynamic(source, part, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT}, **kw)

    return made("%s.%s.onnx" % (base, kind), quantise)


class Encoder:
    def __init__(self, path, o):
        self.sessions = []
        for _ in range(o["sessions"]):
            so = ort.SessionOptions()
            so.intra_op_num_threads = THREADS // o["sessions"]
            so.graph_optimization_level = getattr(ort.GraphOptimizationLevel, o["level"])
            so.add_session_config_entry("session.intra_op.allow_spinning", o.get("spin", "1"))
            # Threads may spin inside a run, not after it.
            so.add_session_config_entry("session.force_spinning_stop", "1")
            self.sessions.append(ort.InferenceSession(path, so, providers=["CPUExecutionProvider"]))
        if len(self.sessions) > 1:
            self.many = self.beside
            self.workers = ThreadPoolExecutor(len(self.sessions))

    def __call__(self, ids, mask, session=0):
        return self.sessions[session].run(None, {"input_ids": ids, "attention_mask": mask})[0]

    def beside(self, batches):
        """Batches one by one, each session taking the next when it is done."""
        out, left = [None] * len(batches), iter(range(len(batches)))

        def work(session):
            for i in left:  # next() of a range's iterator is one step under the interpreter's lock.
                out[i] = self(*batches[i], session=session)

        list(self.workers.map(work, range(len(self.sessions))))
        return out


works = Works("onnxruntime", SETTINGS, lambda folder, s: Encoder(graph(folder, SETTINGS[s]["graph"]), SETTINGS[s]))
rows = [{"work": w, "type": t, "settings": [s for s in SETTINGS if s.startswith(t) and not (w == "sentence" and "streams" in s)]}
        for w in ("embed", "sentence") for t in ("f32", "int8")]
serve("onnxruntime", ort.__version__, rows, {"embed": works.embed, "sentence": works.sentence})
