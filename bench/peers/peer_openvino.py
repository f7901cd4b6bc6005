"""OpenVINO on the ONNX export: f32 and bf16."""
import numpy as np
import openvino as ov

from encoders import Works
from onnxfile import exported
from serve import THREADS, serve

# Two hints and no hint; "streams" sends batches to as many streams of one thread each as there are threads, "unpinned" leaves
# the threads to the system's scheduler.
HINTS = {
    "default": {},
    "latency": {"PERFORMANCE_HINT": "LATENCY"},
    "throughput": {"PERFORMANCE_HINT": "THROUGHPUT"},
    "streams": {"NUM_STREAMS": str(THREADS)},
    "unpinned": {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": "NO"},
}
SETTINGS = {"%s-%s" % (t, h): (t, h) for t in ("f32", "bf16") for h in HINTS}

core = ov.Core()


class Encoder:
    def __init__(self, folder, setting):
        precision, hint = SETTINGS[setting]
        options = dict(HINTS[hint], INFERENCE_NUM_THREADS=str(THREADS), INFERENCE_PRECISION_HINT=precision)
        self.model = core.compile_model(core.read_model(exported(folder)), "CPU", options)
        self.request = self.model.create_infer_request()
        if hint in ("throughput", "streams"):
            self.many = self.queued

    def __call__(self, ids, mask):
        return self.request.infer([ids, mask])[0]

    def queued(self, batches):
        out = [None] * len(batches)
        q = ov.AsyncInferQueue(self.model, THREADS)

        def done(request, i):
            out[i] = np.array(request.get_output_tensor(0).data)

        q.set_callback(done)
        for i, b in enumerate(batches):
            q.start_async(list(b), i)
        q.wait_all()
        return out


works = Works("openvino", SETTINGS, Encoder)
rows = [{"work": w, "type": t, "settings": [s for s, v in SETTINGS.items() if v[0] == t and not (w == "sentence" and v[1] == "streams")]}
        for w in ("embed", "sentence") for t in ("f32", "bf16")]
serve("openvino", ov.__version__, rows, {"embed": works.embed, "sentence": works.sentence})
