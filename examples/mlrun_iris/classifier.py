import mlrun
import numpy as np
from cloudpickle import load


class ClassifierModel(mlrun.serving.V2ModelServer):
    def load(self):
        """Load the classifier from the model's folder."""
        model_file, extra_data = self.get_model(".pkl")
        with open(model_file, "rb") as file:
            self.model = load(file)

    def predict(self, body: dict) -> list:
        """The class of each flower: 0 setosa, 1 versicolor, 2 virginica."""
        features = np.asarray(body["inputs"])
        result: np.ndarray = self.model.predict(features)
        return result.tolist()
