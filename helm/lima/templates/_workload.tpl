{{/* lima.deployment (root, role): a Deployment of one of our services, from lima.edges and .Values.<role>. */}}
{{- define "lima.deployment" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $values := index $root.Values $role -}}
{{- $edge := index (include "lima.edges" $root | fromYaml) $role -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "lima.name" (list $root $role) }}
  labels:
    {{- include "lima.labels" (list $root $role) | nindent 4 }}
spec:
  {{- if eq $role "operator" }}
  replicas: 1
  {{- else if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    {{- if eq $role "operator" }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
    {{- end }}
  selector:
    matchLabels:
      {{- include "lima.selector" (list $root $role) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "lima.labels" (list $root $role) | nindent 8 }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ $role }}
        {{- if eq $role "operator" }}
        lima.dev/config: {{ include "lima.operatorConfig" $root | sha256sum | trunc 16 }}
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "lima.name" (list $root $role) }}
      automountServiceAccountToken: {{ eq $role "operator" }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: 45
      {{- include "lima.pullSecrets" $root | nindent 6 }}
      securityContext:
        {{- include "lima.podSecurity" 10001 | nindent 8 }}
      {{- if ne $role "operator" }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "lima.selector" (list $root $role) | nindent 14 }}
        {{- end }}
      {{- end }}
      {{- include "lima.placement" (include "lima.prioritised" (list $root "serving" $values) | fromJson) | nindent 6 }}
      {{- if or $root.Values.development.reload (has "database" $edge.dials) }}
      initContainers:
        {{- if has "database" $edge.dials }}
        {{- include "lima.waiter" (list $root $role) | nindent 8 }}
        {{- end }}
        {{- if $root.Values.development.reload }}
        # The root file system is read-only: what Skaffold copies in goes to a volume that begins as the image's code.
        - name: code
          image: {{ include "lima.image" (list $root $role) }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [cp, -a, /app/., /code/]
          resources:
            requests: {cpu: 50m, memory: 64Mi}
            limits: {memory: 256Mi}
          securityContext:
            {{- include "lima.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - {name: code, mountPath: /code}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ $role }}
          image: {{ include "lima.image" (list $root $role) }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          {{- if $root.Values.development.reload }}
          command: [python, /reload/reload.py]
          {{- end }}
          args: [services.{{ $role }}]
          {{- include "lima.ports" $edge | nindent 10 }}
          env:
            - name: LIMA_BIND_HOST
              value: 0.0.0.0
            {{- with $edge.metrics }}
            - name: LIMA_METRICS_HOST
              value: 0.0.0.0
            - name: LIMA_METRICS_PORT
              value: {{ . | quote }}
            {{- end }}
            {{- if ne $role "operator" }}
            - name: LIMA_PORT
              value: {{ $edge.port | quote }}
            # Endpoints need this long to drop a pod that says NOT_SERVING.
            - name: LIMA_SHUTDOWN_NOTICE_SECONDS
              value: "5"
            {{- end }}
            {{- include "lima.env" (list $root $edge.dials) | nindent 12 }}
            {{- if and (eq $role "inference") $values.upstreamSecret }}
            - name: LIMA_SECRETS_DIR
              value: /etc/lima/upstreams
            {{- end }}
            {{- if eq $role "console" }}
            {{- with $values.ingress }}
            {{- if .enabled }}
            - name: LIMA_CONSOLE_URL
              value: {{ ternary "https" "http" (ne .tlsSecret "") }}://{{ .host }}
            {{- end }}
            {{- end }}
            {{- with include "lima.proxies" $values }}
            - name: LIMA_CONSOLE_PROXIES
              value: {{ . | quote }}
            {{- end }}
            - name: LIMA_CONSOLE_SECRET
              valueFrom: {secretKeyRef: {name: {{ include "lima.authSecret" $root }}, key: session}}
            {{- end }}
            {{- if eq $role "operator" }}
            - name: LIMA_OPERATOR_CONFIG
              value: /etc/lima/operator.json
            - name: LIMA_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: LIMA_POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- end }}
            {{- range $name, $value := $values.env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          {{- include "lima.probes" $edge | nindent 10 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "lima.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - {name: state, mountPath: /var/lib/lima}
            - {name: tmp, mountPath: /tmp}
            {{- if $root.Values.development.reload }}
            - {name: code, mountPath: /app}
            - {name: reload, mountPath: /reload, readOnly: true}
            {{- end }}
            {{- if eq $role "operator" }}
            - {name: config, mountPath: /etc/lima, readOnly: true}
            {{- end }}
            {{- if and (eq $role "inference") $values.upstreamSecret }}
            - {name: upstreams, mountPath: /etc/lima/upstreams, readOnly: true}
            {{- end }}
      volumes:
        - name: state
          emptyDir: {sizeLimit: {{ $values.scratch }}}
        - name: tmp
          emptyDir: {sizeLimit: {{ $values.scratch }}}
        {{- if $root.Values.development.reload }}
        - name: code
          emptyDir: {sizeLimit: 2Gi}
        - name: reload
          configMap: {name: {{ include "lima.name" (list $root "reload") }}}
        {{- end }}
        {{- if and (eq $role "inference") $values.upstreamSecret }}
        - name: upstreams
          secret: {secretName: {{ $values.upstreamSecret }}, defaultMode: 0440}
        {{- end }}
        {{- if eq $role "operator" }}
        - name: config
          configMap: {name: {{ include "lima.name" (list $root "operator") }}}
        {{- end }}
{{- end -}}

{{/* lima.proxies (.Values.console): networks of reverse proxies, with commas between, or nothing. */}}
{{- define "lima.proxies" -}}
{{- $private := list "10.0.0.0/8" "100.64.0.0/10" "172.16.0.0/12" "192.168.0.0/16" "fc00::/7" -}}
{{- .proxies | default (.ingress.enabled | ternary $private list) | join "," -}}
{{- end -}}

{{- define "lima.ports" -}}
ports:
{{- if ne .port .metrics }}
  - {name: {{ .protocol }}, containerPort: {{ .port }}}
{{- end }}
{{- with .metrics }}
  - {name: metrics, containerPort: {{ . }}}
{{- end }}
{{- end -}}

{{/* Health answers without a token; gRPC probes take a number, never a name. */}}
{{- define "lima.probes" -}}
startupProbe:
  {{- include "lima.probe" (list . "liveness") | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  {{- include "lima.probe" (list . "liveness") | nindent 2 }}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  {{- include "lima.probe" (list . "readiness") | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}
{{- define "lima.probe" -}}
{{- $edge := index . 0 -}}
{{- if eq $edge.protocol "grpc" -}}
grpc: {port: {{ $edge.port }}, service: {{ index . 1 }}}
{{- else -}}
httpGet: {path: {{ $edge.health | default (eq (index . 1) "liveness" | ternary "/livez" "/readyz") }}, port: {{ $edge.port }}}
{{- end -}}
{{- end -}}

{{/*
lima.waiter (root, role): holds a service back until its database answers and its tables are there, which the migration
Job or whichever comes first makes. A service that finds no database ends, and would wait in a crash loop instead.
*/}}
{{- define "lima.waiter" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
- name: wait-for-tables
  image: {{ include "lima.image" (list $root $role) }}
  imagePullPolicy: {{ $root.Values.images.pullPolicy }}
  args: [services.shared.migrate, {{ $role }}, --wait, "1500"]
  env:
    {{- include "lima.env" (list $root (list "database")) | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi, ephemeral-storage: 32Mi}
    limits: {memory: 512Mi, ephemeral-storage: 128Mi}
  securityContext:
    {{- include "lima.containerSecurity" $root | nindent 4 }}
  volumeMounts:
    - {name: state, mountPath: /var/lib/lima}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* lima.jobPod (root, component, image key, module and arguments, what it dials): a one-shot pod of ours. */}}
{{- define "lima.jobPod" -}}
{{- $root := index . 0 -}}
restartPolicy: OnFailure
serviceAccountName: {{ include "lima.name" (list $root "jobs") }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "lima.pullSecrets" $root }}
securityContext:
  {{- include "lima.podSecurity" 10001 | nindent 2 }}
containers:
  - name: {{ index . 1 }}
    image: {{ include "lima.image" (list $root (index . 2)) }}
    imagePullPolicy: {{ $root.Values.images.pullPolicy }}
    args: {{ toJson (index . 3) }}
    env:
      {{- include "lima.env" (list $root (index . 4)) | nindent 6 }}
    resources:
      requests: {cpu: 50m, memory: 128Mi, ephemeral-storage: 32Mi}
      limits: {memory: 512Mi, ephemeral-storage: 128Mi}
    securityContext:
      {{- include "lima.containerSecurity" $root | nindent 6 }}
    volumeMounts:
      - {name: state, mountPath: /var/lib/lima}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: state
    emptyDir: {sizeLimit: 64Mi}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end -}}
