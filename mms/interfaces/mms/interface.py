"""MMS's entry in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Interface


class MmsInterface(Interface):
    name = "mms"
    has_fixed_load_error = True
    worker = "mms.interfaces.mms.worker"
    qlog_program = ("MXNETMODELSERVER_PROGRAM", "MXNetModelServer")
    # It avoids MXNet's slow first call, as MMS does.
    variables = (("MXNET_USE_OPERATOR_TUNING", "0"),)


MMS = MmsInterface()
