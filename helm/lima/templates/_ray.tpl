{{/* What the operator is told about this cluster: services/operator/config.py reads it, unknown keys refused. */}}
{{- define "lima.operatorConfig" -}}
{{- $training := .Values.training -}}
{{- dict
  "image" (include "lima.image" (list . "ray"))
  "imagePullPolicy" .Values.images.pullPolicy
  "imagePullSecrets" .Values.images.pullSecrets
  "serviceAccount" (include "lima.name" (list . "ray"))
  "labels" (include "lima.selector" (list . "ray-training") | fromYaml)
  "environment" (include "lima.storeEnv" . | fromYamlArray)
  "head" (dict "resources" $training.headResources "pool" (include "lima.prioritised" (list . "training" $training.headPool) | fromJson))
  "worker" (dict "resources" $training.workerResources "pool" (include "lima.prioritised" (list . "training" $training.gpuPool) | fromJson))
  "sharedMemory" $training.sharedMemory
  "scratch" $training.scratch
  "gpuMemory" $training.gpuMemory
  "gang" $training.gang
  "queue" $training.queue
  "resyncSeconds" .Values.operator.resyncSeconds
  "leaseName" (include "lima.name" (list . "operator"))
  | toPrettyJson -}}
{{- end -}}

{{/* lima.rayContainer (root, name, resources, ports): Ray's container of a replica pod. */}}
{{- define "lima.rayContainer" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
image: {{ include "lima.image" (list $root "ray") }}
imagePullPolicy: {{ $root.Values.images.pullPolicy }}
env:
  - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
  - {name: RAY_ENABLE_UV_RUN_RUNTIME_ENV, value: "0"}
  {{- /* As in services/inference/replica/__main__.py, which says why. */}}
  - {name: RAY_SERVE_CONTROL_LOOP_INTERVAL_S, value: "0.5"}
  - {name: RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD, value: "0"}
  - {name: RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP, value: "0"}
  - {name: HF_HUB_OFFLINE, value: "1"}
  - {name: HOME, value: /tmp}
  {{- include "lima.env" (list $root (list "store")) | nindent 2 }}
  - {name: LIMA_REPLICA_HOST, value: 0.0.0.0}
  - {name: LIMA_REPLICA_CPUS, value: {{ $root.Values.replicas.cpusPerReplica | quote }}}
  - {name: LIMA_REPLICA_GPUS, value: {{ $root.Values.replicas.gpusPerReplica | quote }}}
  - {name: LIMA_REPLICA_THREADS, value: {{ max 1 (int $root.Values.replicas.cpusPerReplica) | quote }}}
  {{- range $name, $value := $root.Values.replicas.env }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- with index . 3 }}
ports:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml (index . 2) | nindent 2 }}
securityContext:
  {{- include "lima.containerSecurity" $root | nindent 2 }}
volumeMounts:
  - {name: state, mountPath: /var/lib/lima}
  - {name: tmp, mountPath: /tmp}
  - {name: shm, mountPath: /dev/shm}
{{- end -}}

{{/* lima.rayPod (root): what head and workers share. */}}
{{- define "lima.rayPod" -}}
serviceAccountName: {{ include "lima.name" (list . "ray") }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "lima.pullSecrets" . }}
securityContext:
  {{- include "lima.podSecurity" 10001 | nindent 2 }}
volumes:
  - name: state
    emptyDir: {sizeLimit: {{ .Values.replicas.scratch }}}
  - name: tmp
    emptyDir: {sizeLimit: {{ .Values.replicas.scratch }}}
  - name: shm
    emptyDir: {medium: Memory, sizeLimit: {{ .Values.replicas.sharedMemory }}}
{{- end -}}
