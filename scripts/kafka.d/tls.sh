# shellcheck shell=bash disable=SC2034,SC2154
# Keys and certificates, made anew with each secure cluster.

create_certificates() (
  umask 077
  mkdir -p "$STATE/tls"
  cd "$STATE/tls"
  {
    # Nobody here trusts the stranger.
    authority ca && authority stranger &&
      certify broker ca 'subjectAltName=IP:127.0.0.1' &&
      certify alice ca 'extendedKeyUsage=clientAuth' &&
      certify mallory stranger 'extendedKeyUsage=clientAuth' &&
      openssl pkcs8 -topk8 -in alice.key -passout pass:alice-secret -out alice-encrypted.key &&
      # Java wants all of it in one file.
      cat broker.key broker.crt ca.pem >broker.pem
  } >openssl.log 2>&1 || { cat openssl.log >&2; die 1 'openssl could not make the certificates'; }
)

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

authority() { # NAME
  new_key "$1.key" &&
    openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 30 -out "$1.pem"
}

certify() { # NAME AUTHORITY EXTENSION
  new_key "$1.key" &&
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr" &&
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 30 \
      -extfile <(echo "$3") -out "$1.crt"
}
