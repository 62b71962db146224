"""check.py FOLDER PROGRAMS - reads what write_exports wrote with the programs it is meant for; exit 1 where they disagree."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import unittest
import warnings

import numpy as np

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
FOLDER, PROGRAMS = sys.argv[1], sys.argv[2]
MODELS = ["everything", "squeezenet", "mobilenet", "features", "resnet", "pixels"]


def path(name):
    return os.path.join(FOLDER, name)


def batch(name, shape):
    """The input and what our own graph made of it."""
    return np.fromfile(path(name + ".input.f32"), "<f4").reshape((-1,) + shape), np.fromfile(path(name + ".output.f32"), "<f4")


def assert_equal_outputs(name, got, wanted):
    error = np.abs(got.ravel() - wanted).max() / max(np.abs(wanted).max(), 1e-30)
    print(f"  {name}: largest difference {error:.1e} of the largest output")
    assert got.size == wanted.size and error < 2e-5, f"{name}: {error}"


class Onnx(unittest.TestCase):
    def test_onnxruntime_gives_our_outputs(self):
        import onnx
        import onnxruntime

        for name in MODELS:
            onnx.checker.check_model(onnx.load(path(name + ".onnx")), full_check=True)
            session = onnxruntime.InferenceSession(path(name + ".onnx"), providers=["CPUExecutionProvider"])
            shape = tuple(session.get_inputs()[0].shape[1:])
            x, wanted = batch(name, shape)
            got = session.run(["output"], {"input": x})[0]
            declared = session.get_outputs()[0].shape[1:]
            self.assertEqual(list(got.shape[1:]), list(declared))
            assert_equal_outputs(name, got, wanted)
            one = session.run(["output"], {"input": x[:1]})[0]
            np.testing.assert_allclose(one, got[:1], rtol=1e-4, atol=1e-6)


class Keras(unittest.TestCase):
    def test_load_model_gives_our_outputs(self):
        import keras

        for name in MODELS:
            model = keras.models.load_model(path(name + ".h5"), compile=False)
            x, wanted = batch(name, tuple(model.inputs[0].shape[1:]))
            got = model.predict(x, verbose=0)
            assert_equal_outputs(name, np.asarray(got), wanted)

    def test_frozen_layers_stay_frozen(self):
        import keras

        model = keras.models.load_model(path("squeezenet.h5"), compile=False)
        self.assertEqual(len(model.trainable_weights), 2)
        self.assertFalse(model.get_layer("fire2_squeeze1x1").trainable)


class Safetensors(unittest.TestCase):
    def test_library_reads_weights(self):
        import keras
        import safetensors.numpy

        tensors = safetensors.numpy.load_file(path("everything.safetensors"))
        model = keras.models.load_model(path("everything.h5"), compile=False)
        np.testing.assert_array_equal(tensors["stem/kernel"], model.get_layer("stem").get_weights()[0])
        np.testing.assert_array_equal(tensors["fire/squeeze/bias"], model.get_layer("fire_squeeze").get_weights()[1])
        np.testing.assert_array_equal(tensors["dw/depthwise_kernel"], model.get_layer("dw").get_weights()[0])
        self.assertEqual(sum(t.size for t in tensors.values()), model.count_params())

    def test_library_reads_a_checkpoint(self):
        import safetensors

        with safetensors.safe_open(path("checkpoint-7.safetensors"), "np") as file:
            metadata = file.metadata()
            data = {name: file.get_tensor(name) for name in file.keys()}
        self.assertEqual((metadata["step"], metadata["epoch"], metadata["batch"], metadata["seed"]), ("7", "1", "2", "3"))
        with open(path("checkpoint-7.safetensors"), "rb") as file:
            header = int.from_bytes(file.read(8), "little")
            file.seek(8 + header)
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), metadata["sha256"])
        self.assertTrue(all(np.isfinite(t).all() for t in data.values()))


class TensorBoard(unittest.TestCase):
    def test_event_accumulator_reads_events(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(path("events"), size_guidance={"scalars": 0, "histograms": 0, "images": 0}).Reload()
        tags = events.Tags()
        self.assertEqual(set(tags["scalars"]), {"loss", "eval/accuracy"})
        self.assertEqual((tags["histograms"], tags["images"]), (["fc/kernel"], ["sheet"]))
        # the second file begins at step 5: steps 5 to 9 of the first are void
        self.assertEqual([e.step for e in events.Scalars("eval/accuracy")], [0, 1, 2, 3, 4])
        self.assertEqual([(e.step, e.value) for e in events.Scalars("loss")][-2:], [(4, np.float32(0.2)), (5, 42.0)])

    def test_histogram_and_picture(self):
        import io

        from PIL import Image
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        first = sorted(os.listdir(path("events")))[0]
        events = EventAccumulator(os.path.join(path("events"), first)).Reload()
        histogram = events.Histograms("fc/kernel")[0].histogram_value
        self.assertEqual((histogram.num, sum(histogram.bucket)), (1000, 1000))
        self.assertAlmostEqual(histogram.min, -5)
        below = sum(c for limit, c in zip(histogram.bucket_limit, histogram.bucket) if limit <= 0)
        self.assertEqual(below, 500)
        picture = events.Images("sheet")[0]
        self.assertEqual(Image.open(io.BytesIO(picture.encoded_image_string)).size, (picture.width, picture.height))


MODEL = """
input: {height: 20, width: 20, channels: 3}
%slayers:
  - {type: rescaling, name: scaled, scale: 0.0078125, offset: -1}
  - {type: conv2d, name: conv, filters: 4, kernel_size: 3, strides: 2, padding: same}
  - {type: batch_normalization, name: bn, momentum: 0.5}
  - {type: activation, name: relu, activation: relu}
  - {type: depthwise_conv2d, name: dw, kernel_size: 3}
  - {type: flatten, name: flat}
  - {type: dense, name: out, units: 1, activation: sigmoid}
loss: binary_crossentropy
optimizer: {name: adam, learning_rate: 0.001}
metrics: [accuracy]
"""


class Commands(unittest.TestCase):
    """The programs themselves: what they train goes out, what Keras saved comes in."""

    @classmethod
    def setUpClass(cls):
        from PIL import Image

        cls.work = path("commands")
        shutil.rmtree(cls.work, ignore_errors=True)
        random = np.random.default_rng(1)
        cls.files, pixels = [], []
        for number in range(32):
            name = os.path.join(cls.work, "pictures", "light" if number % 2 else "dark", f"{number:02}.png")
            os.makedirs(os.path.dirname(name), exist_ok=True)
            pixels.append((random.random((20, 20, 3)) * 120 + 100 * (number % 2)).astype("u1"))
            Image.fromarray(pixels[-1]).save(name)
            cls.files.append(name)
        cls.pixels = np.stack(pixels).astype("f4")
        cls.run_program("tfrecord", "convert", cls.file("pictures"), "--output", cls.file("data/small"), "--encoding", "raw", "--resize", "20x20")
        with open(cls.file("model.yaml"), "w") as file:
            file.write(MODEL % "")
        cls.run_program("batchtrain", "train", cls.file("model.yaml"), "--data", cls.file("data/small.yaml"), "--eval-data",
                        cls.file("data/small.yaml"), "--model-dir", cls.file("run"), "--epochs", "3", "--batch", "8", "--report-every", "2")

    @classmethod
    def file(cls, name):
        return os.path.join(cls.work, name)

    @staticmethod
    def run_program(program, *arguments):
        done = subprocess.run([os.path.join(PROGRAMS, program), *arguments, "--json", "--quiet"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{program} {arguments}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def predictions(self, *model):
        return np.float32([line["output"] for line in self.run_program("batchtrain", "predict", *model, *self.files)])

    def test_exports_of_a_trained_model_predict_alike(self):
        import keras
        import onnxruntime

        wanted = self.predictions("--model-dir", self.file("run"))
        for name in ("onnx", "keras-h5", "safetensors"):
            self.run_program("batchtrain", "export", "--model-dir", self.file("run"), "--format", name, "--output",
                             self.file("out." + name.removeprefix("keras-")))
        session = onnxruntime.InferenceSession(self.file("out.onnx"), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"input": self.pixels})[0], wanted, atol=2e-6)
        model = keras.models.load_model(self.file("out.h5"), compile=False)
        np.testing.assert_allclose(model.predict(self.pixels, verbose=0), wanted, atol=2e-6)

    def test_weights_that_keras_saves_are_loaded(self):
        import keras

        model = keras.Sequential([
            keras.Input((20, 20, 3)), keras.layers.Rescaling(0.0078125, -1.0, name="scaled"),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv"), keras.layers.BatchNormalization(name="bn"),
            keras.layers.ReLU(name="relu"), keras.layers.DepthwiseConv2D(3, name="dw"), keras.layers.Flatten(name="flat"),
            keras.layers.Dense(1, activation="sigmoid", name="out")])
        random = np.random.default_rng(2)
        model.set_weights([random.uniform(0.2, 1, w.shape) if w.ndim == 1 else random.normal(0, 0.1, w.shape) for w in model.get_weights()])
        wanted = model.predict(self.pixels, verbose=0)
        model.save_weights(self.file("keras.weights.h5"))
        model.save(self.file("keras.h5"))
        for name in ("keras.weights.h5", "keras.h5"):
            with open(self.file("loaded.yaml"), "w") as file:
                file.write(MODEL % f"weights: {name}\n")
            np.testing.assert_allclose(self.predictions(self.file("loaded.yaml")), wanted, atol=2e-6)

    def test_batch_size_changes_nothing(self):
        """A ResNet whose first layer is a padding, and the net of this class: equal to the bit at four batch sizes, and to Keras."""
        import keras

        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "models/resnet.yaml")) as source, open(self.file("resnet.yaml"), "w") as file:
            file.write(source.read() + f"weights: {os.path.abspath(path('resnet.safetensors'))}\n"
                       "loss: sparse_categorical_crossentropy\nmetrics: [accuracy, sparse_top_k_categorical_accuracy]\n")
        results = {}
        for model in ([self.file("resnet.yaml")], ["--model-dir", self.file("run")]):
            evaluations, predictions = [], []
            for batch_size in ("1", "7", "50", "200"):
                evaluations += self.run_program("batchtrain", "evaluate", *model, "--data", self.file("data/small.yaml"), "--batch", batch_size)
                predictions.append(self.run_program("batchtrain", "predict", *model, "--batch", batch_size, *self.files))
            self.assertTrue(all(e == evaluations[0] for e in evaluations), evaluations)
            self.assertTrue(all(p == predictions[0] for p in predictions))
            results[model[0]] = evaluations[0]["loss"]
        net = keras.models.load_model(path("resnet.h5"), compile=False)
        net.compile(loss="sparse_categorical_crossentropy")
        wanted = net.evaluate(self.pixels, np.arange(32) % 2, verbose=0)
        print(f"  resnet that begins with padding: loss {results[self.file('resnet.yaml')]}, Keras {wanted}")
        np.testing.assert_allclose(results[self.file("resnet.yaml")], wanted, rtol=1e-5)

    def test_tensorboard_reads_the_run(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        for folder, tag in ((self.file("run"), "loss"), (self.file("run/eval"), "loss")):
            events = EventAccumulator(folder).Reload()
            self.assertIn(tag, events.Tags()["scalars"])
            self.assertTrue(np.isfinite([e.value for e in events.Scalars(tag)]).all())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
