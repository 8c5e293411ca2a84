{{- define "server.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "server.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "server.claim" -}}
{{ .Values.store.existingClaim | default (printf "%s-store" (include "server.name" .)) }}
{{- end -}}
