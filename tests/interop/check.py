"""check.py FOLDER PROGRAMS - reads what write_exports wrote with the programs it is meant for; exit 1 where they disagree."""

import hashlib
import os
import sys
import unittest
import warnings

import numpy as np

warnings.filterwarnings("ignore")
FOLDER = sys.argv[1]
MODELS = ["everything", "squeezenet", "mobilenet", "features"]


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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
