// A service of our own, shaped after the facts in mes-fields.tsv: material documents.
@protocol: [
  { kind: 'odata-v4', path: '/odata/v4/movements' },
  { kind: 'odata-v2', path: '/sap/opu/odata/sap/API_MATERIAL_DOCUMENT_SRV' }
]
service Movements {
  entity A_MaterialDocumentHeader {
    key MaterialDocumentYear       : String(4);
    key MaterialDocument           : String(10);
        DocumentDate               : Date;
        PostingDate                : Date;
        MaterialDocumentHeaderText : String(25);
        ReferenceDocument          : String(16);
        GoodsMovementCode          : String(2);
        to_MaterialDocumentItem    : Composition of many A_MaterialDocumentItem
          on to_MaterialDocumentItem.MaterialDocumentYear = MaterialDocumentYear
          and to_MaterialDocumentItem.MaterialDocument = MaterialDocument;
  }

  entity A_MaterialDocumentItem {
    key MaterialDocumentYear         : String(4);
    key MaterialDocument             : String(10);
    key MaterialDocumentItem         : String(4);
        Material                     : String(40);
        Plant                        : String(4);
        StorageLocation              : String(4);
        Batch                        : String(10);
        GoodsMovementType            : String(3);
        MaterialDocumentItemText     : String(50);
        GoodsMovementRefDocType      : String(1);
        ManufacturingOrder           : String(12);
        ManufacturingOrderItem       : String(4);
        Reservation                  : String(10);
        ReservationItem              : String(4);
        EntryUnit                    : String(3);
        QuantityInEntryUnit          : Decimal(13, 3);
        GoodsMovementIsCancelled     : Boolean;
        ReversedMaterialDocument     : String(10);
        ReversedMaterialDocumentYear : String(4);
        ReversedMaterialDocumentItem : String(4);
        to_SerialNumbers             : Composition of many A_SerialNumberMaterialDocument
          on to_SerialNumbers.MaterialDocumentYear = MaterialDocumentYear
          and to_SerialNumbers.MaterialDocument = MaterialDocument
          and to_SerialNumbers.MaterialDocumentItem = MaterialDocumentItem;
  }

  entity A_SerialNumberMaterialDocument {
    key Material                     : String(40);
    key SerialNumber                 : String(18);
    key MaterialDocument             : String(10);
    key MaterialDocumentItem         : String(4);
    key MaterialDocumentYear         : String(4);
        ManufacturerSerialNumber     : String(30);
  }

  action Cancel(MaterialDocument : String(10) not null, MaterialDocumentYear : String(4) not null, PostingDate : Date) returns A_MaterialDocumentHeader;
}
