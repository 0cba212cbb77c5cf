{{/* What the pods of web, worker and migrate have in common */}}
{{- define "classifr.labels" -}}
app.kubernetes.io/name: classifr
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "classifr.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
{{- end }}
{{- define "classifr.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
envFrom:
  - secretRef: {name: {{ .Values.existingSecret }}}
env:
  - {name: ALLOWED_HOSTS, value: {{ .Values.host | quote }}}
  - {name: URL_PREFIX, value: {{ .Values.urlPrefix | quote }}}
  - {name: HTTPS, value: "true"}
  - {name: BEHIND_PROXY, value: "true"}
  - {name: WEB_CONCURRENCY, value: {{ .Values.web.processes | quote }}}
  {{- range $name, $value := .Values.settings }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- end }}
