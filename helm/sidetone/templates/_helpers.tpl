{{- define "sidetone.name" -}}
{{- if contains "sidetone" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-sidetone{{ end -}}
{{- end }}

{{- define "sidetone.labels" -}}
app.kubernetes.io/name: sidetone
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sidetone.selector" -}}
app.kubernetes.io/name: sidetone
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sidetone.tlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-tls" (include "sidetone.name" .)) }}
{{- end }}

{{- /* Everything above a pod's containers that is the same for all services. */ -}}
{{- define "sidetone.podHead" -}}
serviceAccountName: {{ include "sidetone.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.podSecurity.userId }}
  runAsGroup: {{ .root.Values.podSecurity.groupId }}
  fsGroup: {{ .root.Values.podSecurity.groupId }}
  seccompProfile: {type: RuntimeDefault}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
- {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: {{ .root.Values.nodeLostTolerationSeconds }}}
- {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: {{ .root.Values.nodeLostTolerationSeconds }}}
{{- with .values.tolerations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sidetone.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}

{{- define "sidetone.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 2
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 1
  timeoutSeconds: 2
{{- end }}

{{- /* The environment of every container: who it is, and the client settings that let `kubectl exec … sidetone calls` work. */ -}}
{{- define "sidetone.env" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: SIDETONE_SERVER, value: "{{ include "sidetone.name" . }}-call-control:50051"}
- {name: SIDETONE_CA, value: /etc/sidetone/tls/ca.crt}
- {name: SIDETONE_CERT, value: /etc/sidetone/tls/tls.crt}
- {name: SIDETONE_KEY, value: /etc/sidetone/tls/tls.key}
{{- end }}

{{- define "sidetone.podAnnotations" -}}
checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
{{- if .root.Values.prometheusAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .adminPort | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- end }}

{{- /* Keys of the configuration that the operator gives: what JSON says of text, numbers and lists is TOML too. */ -}}
{{- define "sidetone.settings" }}
{{- range $key, $value := . }}
{{ $key }} = {{ if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- end }}

{{- /* The URL by which clients reach the HTTP door. */ -}}
{{- define "sidetone.publicUrl" -}}
{{- $http := .Values.http }}
{{- if $http.publicUrl }}{{ $http.publicUrl }}
{{- else if $http.ingress.enabled }}{{ if $http.ingress.tlsSecret }}https{{ else }}http{{ end }}://{{ $http.ingress.host }}
{{- else }}http://{{ include "sidetone.name" . }}-http.{{ .Release.Namespace }}.svc:{{ $http.port }}
{{- end }}
{{- end }}
