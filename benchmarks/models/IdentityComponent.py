"""A Seldon component that gives back what it gets: all the work is the server's."""


class IdentityComponent:
    def predict(self, X, features_names=None, meta=None):
        return X
